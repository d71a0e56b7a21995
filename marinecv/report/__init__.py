"""Figures and pages: reads runs and tables, computes nothing."""
