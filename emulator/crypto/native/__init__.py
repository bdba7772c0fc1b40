"""The compiled core, typed. Each module here has a twin of the same name in `fallback/`."""
