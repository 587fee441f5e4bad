"""Convert a file for a few sats: the reference application of l402_middleware.

Read in this order: `catalogue` (what is sold), `order` (what may be bought), `sandbox` (how a stranger's file is
converted without harm), `links` (how the result is handed over).
"""
