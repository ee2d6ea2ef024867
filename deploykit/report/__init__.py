"""Reports: the columns of a row, and rows as CSV, Markdown, JUnit and views for people."""

#: Standard output, where a path of a report to write is asked for; standard input, where one is read.
STDOUT = "-"
