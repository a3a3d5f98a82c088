"""What commands print: aligned tables, and what a reader must know beside them."""
