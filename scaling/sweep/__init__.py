"""What is asked and what it will cost: sweep file, shapes, counting, recipe, plan."""
