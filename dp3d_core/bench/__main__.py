from dp3d_core.bench import main

if __name__ == "__main__":
    main()
