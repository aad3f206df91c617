"""JSON for PRA tools and engineers: one module for each thing that is asked for; schemas.py and answers.py say how."""
