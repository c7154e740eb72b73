from experiments.train.main import main

main()
