"""The demo's own data sources: what a company's other systems would be."""
