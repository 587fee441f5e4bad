"""Coverage-guided fuzzing of everything that a stranger's bytes reach first (README.md beside this says how)."""
