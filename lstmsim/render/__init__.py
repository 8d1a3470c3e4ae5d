"""How results look: text, pictures, pages, timelines."""
