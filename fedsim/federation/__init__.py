"""The honest federation as a Flower app, and the seats in it that a dishonest party can take."""
