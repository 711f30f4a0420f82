"""The long measurements on the real programs: `script/bench [NAME...]` writes the tables of docs/benchmarks.md."""
