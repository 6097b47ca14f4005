"""Recipe files: which rules, which limits, which paper. Data, no code but the loader's package marker."""
