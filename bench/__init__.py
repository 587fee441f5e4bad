"""How much charging costs, as ratios within one run: `make bench`."""
