from experiments.convergence.main import main

main()
