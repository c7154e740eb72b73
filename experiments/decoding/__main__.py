from experiments.decoding.main import main

main()
