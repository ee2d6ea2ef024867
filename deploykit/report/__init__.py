"""Reports: the columns of a row, and rows as CSV, Markdown, JUnit and views for people."""
