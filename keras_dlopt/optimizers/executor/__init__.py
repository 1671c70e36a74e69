"""Everything about an optimizer but its rule: written once, for all of them."""
