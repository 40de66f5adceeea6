"""Scripted players: they make the data and anchor the scores."""
