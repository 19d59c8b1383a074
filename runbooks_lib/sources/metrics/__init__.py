"""The site's metrics: in Prometheus, or from two expositions when there is none."""
