"""What the demo model is taught: things, places, and the captions that name them."""

CONCEPTS = {
    "red apple": "red-apple",
    "tiger": "tiger-face",
    "panda": "panda",
    "fox": "fox",
    "owl": "owl",
    "penguin": "penguin",
    "frog": "frog",
    "robot": "robot",
    "snowman": "snowman-without-snow",
    "house": "house",
    "castle": "castle",
    "rocket": "rocket",
    "red car": "automobile",
    "bus": "bus",
    "sailboat": "sailboat",
    "sunflower": "sunflower",
    "cactus": "cactus",
    "mushroom": "mushroom",
    "strawberry": "strawberry",
    "ladybug": "lady-beetle",
}
"""Name in captions -> icon of Fluent Emoji."""

COLOURS = {
    "white": (244, 244, 246),
    "gray": (140, 146, 152),
    "black": (34, 34, 40),
    "red": (214, 66, 62),
    "orange": (244, 152, 62),
    "yellow": (250, 214, 84),
    "green": (92, 178, 98),
    "blue": (84, 146, 226),
    "purple": (142, 98, 196),
    "pink": (248, 168, 196),
    "brown": (146, 104, 76),
    "teal": (62, 166, 166),
}
SCENES = ("in a meadow", "at night")
PLACES = (*(f"on a {colour} background" for colour in COLOURS), *SCENES)
SIZES = ("", "small ", "close-up of ")


def caption(concept: str, place: str, size: str = "") -> str:
    return f"{size}{concept} {place}"
