"""A second reader of icecore repositories, written from `format-spec/` alone."""
