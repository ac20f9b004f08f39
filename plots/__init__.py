"""Plots and pictures, by matplotlib."""
