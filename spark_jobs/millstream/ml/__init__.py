"""What every model shares: declarations, MLlib pipelines, metrics, plots, tracking and promotion.

Nothing here is about a particular model; these are declared in `millstream.models`.
"""
