from experiments.wallclock.main import main

main()
