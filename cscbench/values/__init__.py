"""The values that pass between the layers: frozen, without I/O. They import nothing else of cscbench."""
