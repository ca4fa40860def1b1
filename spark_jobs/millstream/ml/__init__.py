"""What every model shares: declarations, MLlib pipelines, metrics, plots, tracking and promotion.

Nothing here knows a model; what a model is stands in `millstream.models`.
"""
