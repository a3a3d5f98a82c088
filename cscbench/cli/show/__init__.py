"""What commands print: aligned tables, and notes for their reader."""
