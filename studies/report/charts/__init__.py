"""Charts for the page, as Plotly's JSON."""
