"""Built-in sources of topology, one file a format. They import what any plugin's author does."""
