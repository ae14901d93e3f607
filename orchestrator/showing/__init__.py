"""What people see of a plan and of a run: tables, lines, a page; decides nothing."""
