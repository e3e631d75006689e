"""How a report is shown: on a terminal, in JSON, JUnit, Markdown, HTML, and as a badge."""
