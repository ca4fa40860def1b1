"""The services of docker-compose.yml: their secrets, commands and environments."""
