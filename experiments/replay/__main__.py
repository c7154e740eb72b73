from experiments.replay.main import main

main()
