"""Where uses of payments are counted: one file per store."""
