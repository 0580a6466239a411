import numpy as np
import pytest
from PIL import ExifTags, Image

from care_keras.data.segmentation import VOID, open_segmentation
from tests.care_keras.data.made_tfds import photo, prepare

MASK = np.array([[0, 1, 1, 255], [2, 2, 0, 0], [0, 0, 0, 1]], np.uint8)


def write(folder, layout="lists", masks=(MASK, MASK[::-1]), save=Image.Image.save):
    """Two images, `a` to train with and `b` to validate with."""
    for split, name, mask in zip(("train", "val"), "ab", masks, strict=True):
        parts = [part.replace("SPLIT", split) for part in LAYOUTS[layout]]
        for part, pixels, suffix in zip(parts, (photo(1, 3, 4), mask), ("jpg", "png"), strict=True):
            (folder / part).mkdir(parents=True, exist_ok=True)
            image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
            image.save(folder / part / f"{name}.{suffix}")
        if layout == "lists":
            (folder / f"{split}.txt").write_text(f"{name}\n")
    return folder


LAYOUTS = {
    "lists": ("images", "labels"),
    "folders": ("images/SPLIT", "masks/SPLIT"),
    "ade20k": ("images/SPLITing", "annotations/SPLITing"),
}


@pytest.mark.parametrize("layout", ["lists", "folders"])
def test_layouts(tmp_path, layout):
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    write(tmp_path, layout)
    train, val = (open_segmentation(str(tmp_path), split) for split in ("train", "test"))
    assert train.class_names == val.class_names == ("sky", "road", "car")
    assert [len(train), len(val)] == [1, 1] and train.labels is None
    assert train.item_names[0].endswith("a.jpg") and val.item_names[0].endswith("b.jpg")
    np.testing.assert_array_equal(train.mask(0), MASK)
    np.testing.assert_array_equal(val.mask(0), MASK[::-1])
    assert train.mask(0).dtype == np.uint8 and train[0].shape == (3, 4, 3)


def test_values_begin_where_it_is_said(tmp_path, capsys):
    """As ADE20K's: 0 is no class, and no list names the others."""
    source = open_segmentation(str(write(tmp_path, "ade20k")), "train", first_class=1)
    assert source.class_names == ("1", "2")
    expected = [[255, 0, 0, 255], [1, 1, 255, 255], [255, 255, 255, 0]]
    np.testing.assert_array_equal(source.mask(0), expected)
    assert f"classes of {tmp_path}/annotations 2/2" in capsys.readouterr().err


def test_names_as_cameras_and_systems_write_them(tmp_path):
    write(tmp_path)
    labels = tmp_path / "labels"
    (labels / "a.png").rename(labels / "a.PNG")
    (labels / "._b.png").write_bytes(b"of another system")
    (labels / "__MACOSX").mkdir()
    (labels / "__MACOSX" / "b.png").write_bytes(b"of another system")
    np.testing.assert_array_equal(open_segmentation(str(tmp_path), "train").mask(0), MASK)


def test_classes_are_those_of_all_splits(tmp_path):
    write(tmp_path, masks=(MASK, np.full_like(MASK, 6)))
    assert open_segmentation(str(tmp_path), "train").class_names == tuple("0123456")


def test_an_undivided_folder(tmp_path):
    write(tmp_path)
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").unlink()
    for split in ("train", "test"):
        source = open_segmentation(str(tmp_path), split)
        assert [name[-5:] for name in source.item_names] == ["a.jpg", "b.jpg"]


def palette(mask):
    image = Image.fromarray(mask, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    return image


@pytest.mark.parametrize(
    "image", [palette(MASK), Image.fromarray(MASK.astype(np.uint16))], ids=["palette", "16 bits"]
)
def test_kinds_of_label_images(tmp_path, image):
    source = open_segmentation(str(write(tmp_path, masks=(image, MASK))), "train")
    np.testing.assert_array_equal(source.mask(0), MASK)


@pytest.mark.parametrize(("bits", "classes"), [(4, 16), (2, 4)])
def test_label_images_of_few_bits(tmp_path, bits, classes):
    """Their values are what stands in the file, not what a viewer shows."""
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4) % classes
    write(tmp_path)
    Image.fromarray(mask * np.uint8(255 // (classes - 1))).save(
        tmp_path / "labels" / "a.png", bits=bits
    )
    np.testing.assert_array_equal(open_segmentation(str(tmp_path), "train").mask(0), mask)


def test_a_label_of_two_values(tmp_path):
    source = open_segmentation(
        str(write(tmp_path, masks=(Image.fromarray(MASK > 1), MASK))), "train"
    )
    np.testing.assert_array_equal(source.mask(0), MASK > 1)


BAD_MASKS = {
    "colours": (
        Image.new("RGB", (4, 3)),
        r"one channel, the class of each pixel, or a palette.*of colours\. Received: .*a\.png of "
        "Pillow's mode RGB$",
    ),
    "transparent": (Image.new("LA", (4, 3)), "mode LA$"),
    "another size": (MASK[:2], r"has 4x2 pixels, and its image 4x3\. Received: .*labels/a\.png$"),
    "another value": (
        MASK + np.uint8(1),
        r"has the value 3, and the 3 classes are 0 to 2\. Received: .*labels/a\.png$",
    ),
    "large values": (MASK.astype(np.uint16) + 9000, r"up to 255, not 9255\. Received: .*a\.png$"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_label_images_of_no_use(tmp_path, kind):
    mask, message = BAD_MASKS[kind]
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar")
    source = open_segmentation(str(write(tmp_path, masks=(mask, MASK))), "train")
    with pytest.raises(ValueError, match=message):
        source.mask(0)
    np.testing.assert_array_equal(open_segmentation(str(tmp_path), "val").mask(0), MASK)


def without_labels(folder):
    (folder / "labels").rename(folder / "others")


def without_one(folder):
    (folder / "labels" / "a.png").unlink()


def damaged(folder):
    (folder / "labels" / "a.png").write_bytes(b"text")


def list_of(text):
    return lambda folder: (folder / "train.txt").write_bytes(text)


def classes(text):
    return lambda folder: (folder / "classes.txt").write_bytes(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_labels, "no label images in labels/ or annotations/ or masks/"),
        (without_one, r"There is no label image a\.png in .*labels\. Received: .*images/a\.jpg$"),
        (damaged, r"Cannot decode the label image\. Received: .*labels/a\.png"),
        (list_of(b"../labels/a\n"), r"There is no image '\.\./labels/a' in .*train\.txt$"),
        (list_of(b"a\n\nc"), "There is no image 'c' in "),
        (list_of(b" \n"), r"The list names no image\. Received: .*train\.txt$"),
        (list_of(b"\xff"), "Not a list of images in UTF-8"),
        (classes(b"\xff"), "Not a list of classes in UTF-8"),
        (classes(b"a\n\nb"), "with 3 lines, 1 of them empty$"),
        (classes(b"a\n" * 255), "at most 254"),
    ],
)
def test_folders_of_no_use(tmp_path, change, message):
    change(write(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        open_segmentation(str(tmp_path), "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", ["lists", "folders"])
def test_splits_that_are_not_there(tmp_path, layout):
    write(tmp_path, layout)
    with pytest.raises(ValueError, match=r"has the splits train, val\. Received: split='dev'"):
        open_segmentation(str(tmp_path), "dev")


def test_what_is_no_folder(tmp_path):
    for spec in ("", "no/such", str(tmp_path)):
        with pytest.raises(ValueError, match=rf"^No such folder with images/ .*'{spec}'$"):
            open_segmentation(spec)
    with pytest.raises(ValueError, match=r"from 0 to 254\. Received: 255$"):
        open_segmentation(str(write(tmp_path)), first_class=255)


@pytest.mark.parametrize("drawn_upright", [False, True])
def test_maps_lie_on_the_image_that_is_given(tmp_path, drawn_upright):
    pixels = np.repeat(np.where(MASK == 2, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    write(tmp_path, masks=(np.rot90(MASK, -1) if drawn_upright else MASK, MASK))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "images" / "a.jpg").unlink()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png", exif=exif)
    source = open_segmentation(str(tmp_path), "train")
    assert source[0].shape == (4, 3, 3)
    np.testing.assert_array_equal(source.mask(0) == 2, source[0][..., 0] == 255)


def test_real_maps(dense_folder):
    sources = [
        open_segmentation(str(dense_folder / "camvid"), one) for one in ("train", "val", "test")
    ]
    assert [len(source) for source in sources] == [367, 101, 233]
    assert {source.class_names for source in sources} == {sources[0].class_names}
    assert len(sources[0].class_names) == 11 and sources[0].class_names[0] == "sky"
    counts = sum(np.bincount(sources[1].mask(i).ravel(), minlength=256) for i in range(0, 101, 10))
    assert counts[:11].min() > 0 and counts[VOID] > 0 and counts[11:VOID].sum() == 0
    taken = sources[0].take([5, 3]).take([1])
    np.testing.assert_array_equal(taken.mask(0), sources[0].mask(3))
    np.testing.assert_array_equal(taken[0], sources[0][3])
    sample = sources[0].sample(4, seed=1)
    place = sources[0].item_names.index(sample.item_names[2])
    np.testing.assert_array_equal(sample.mask(2), sources[0].mask(place))


@pytest.mark.parametrize("named", [False, True])
def test_tfds(tmp_path, monkeypatch, named):
    import tensorflow_datasets as tfds

    image = tfds.features.Image(encoding_format="png")
    label = {"shape": (None, None, 1), "encoding_format": "png"}
    maps = tfds.features.LabeledImage(labels=["none", "pet", "edge"], **label)
    features = {
        "image": image,
        "file_name": tfds.features.Text(),
        "segmentation_mask": maps if named else tfds.features.Image(**label),
    }
    examples = [
        {"image": photo(i, 3, 4), "file_name": "", "segmentation_mask": mask[..., None] % 255}
        for i, mask in enumerate((MASK, MASK[::-1]))
    ]
    spec = prepare(monkeypatch, tmp_path, "pets", features, examples)
    source = open_segmentation(f"{spec}:train", first_class=1)
    assert source.name == "tfds:pets:train"
    assert source.class_names == (("pet", "edge") if named else ("1", "2"))
    expected = [[255, 0, 0, 255], [1, 1, 255, 255], [255, 255, 255, 0]]
    np.testing.assert_array_equal(source.mask(0), expected)
    np.testing.assert_array_equal(source[1], photo(1, 3, 4))


def test_tfds_without_maps(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(), "other": tfds.features.Image()}
    spec = prepare(monkeypatch, tmp_path, "two", features, [{"image": photo(0), "other": photo(1)}])
    with pytest.raises(ValueError, match="one label image for each image.* with image, other$"):
        open_segmentation(spec, "train")
