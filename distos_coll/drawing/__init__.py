"""Pictures: laid out here as rectangles, lines and words, and written as SVG or PNG."""
