"""Reading results: tables, statistics, exports, figures and the report."""
