"""What the crypto core is worth on this machine, beside what else there is.

Absolute nanoseconds mean little on a shared machine: the same code swings by half within a minute. So every engine runs
the same messages in turn within each round, in one process, on thread CPU time; figures are medians over rounds, a
ratio is the median of the rounds' own ratios, and a calibration line (two kernels whose cost per turn is known) says
in what state the machine was. Before an engine is timed it has to give the core's answers and refuse changed messages.

`driver` builds and holds the C loop, `peers` looks for libraries, `natively` and `from_python` time the cases, `crypto`
puts the report together, `table` and `plot` show it.
"""
