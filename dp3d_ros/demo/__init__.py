"""The demo: a recording through the live nodes, filmed."""
