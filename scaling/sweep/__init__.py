"""The sweep and its cost: sweep file, shapes, counting, recipe, plan."""
