"""A local mirror of Polar's customers and their state for Django."""

__version__ = "0.1.0"
