"""Model families that train the same way: interchangeable siblings."""
