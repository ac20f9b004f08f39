"""Labelled faces in files: read, checked, downloaded, drawn. Without torch."""
