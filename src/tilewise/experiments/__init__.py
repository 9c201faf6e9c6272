"""The papers' tables and figures, on real data."""
