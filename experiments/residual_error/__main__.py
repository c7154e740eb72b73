from experiments.residual_error.main import main

main()
