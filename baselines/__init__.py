"""The agents: one algorithm, one file. Needs the extra `baselines` (torch, transformers, peft)."""
