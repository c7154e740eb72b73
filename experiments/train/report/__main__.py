from experiments.train.report.main import main

main()
