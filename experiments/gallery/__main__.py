from experiments.gallery.main import main

main()
