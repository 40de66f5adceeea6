"""What results and partners are worth: measures over games."""
