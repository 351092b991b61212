# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The published image set, on *synthetic* pictures of its layout, and what may be wrong with it.
"""

import io
import shutil
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from clustercnn import Classifier
from clustercnn.exceptions import TableReadError
from clustercnn.io import kosiba2020, read_kosiba2020

CLASSES = ('low-z', 'hi-z', 'galaxy', 'point', 'other')
TABLE = 'Kosiba2020/train.csv'


def picture(seed=0, *, shape=(356, 356, 3), first=0):
    """
    Return pixels of noise, with the first channel empty.
    """
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    if pixels.ndim == 3:
        pixels[..., 0] = first
    return pixels


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format='PNG')
    return stream.getvalue()


def files(n_train=5, n_test=2):
    """
    Return the content of each file of the set.
    """
    content = {}
    for split, number, first in (('train', n_train, 100), ('test', n_test, 900)):
        ids = range(first, first + number)
        rows = ''.join(f'{name},{CLASSES[k % 5]}\r\n' for k, name in enumerate(ids))
        content[f'Kosiba2020/{split}.csv'] = f'image_id,class\r\n{rows}'.encode()
        content |= {f'Kosiba2020/{split}_images/{i}.png': png(picture(i)) for i in ids}
    return content


@pytest.fixture(scope='module')
def whole():
    return files()


def pack(path, content, *, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def unpack(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize('kind', ['zip', 'stored zip', 'folder', 'folder within'])
def test_the_set_is_read_from_a_zip_file_or_a_folder(kind, whole, tmp_path):
    if 'zip' in kind:
        method = zipfile.ZIP_STORED if 'stored' in kind else zipfile.ZIP_DEFLATED
        path = pack(tmp_path / 'Kosiba2020.zip', whole, method=method)
    else:
        path = unpack(tmp_path, whole)
        path = path / 'Kosiba2020' if 'within' in kind else path
    before = sorted(tmp_path.rglob('*'))
    stack, labels = read_kosiba2020(path)
    assert stack.ids == labels.ids == ('100', '101', '102', '103', '104')
    assert stack.band_names == ('optical', 'xray')
    for band, channel in (('optical', 1), ('xray', 2)):
        # the lowest row comes first
        np.testing.assert_array_equal(stack[band][3], picture(103)[::-1, :, channel])
    assert labels.names() == list(CLASSES)
    assert labels.schema.classes == CLASSES
    assert labels.schema.positive == ('low-z', 'hi-z')
    assert labels.binary().tolist() == [1, 1, 0, 0, 0]
    assert stack.meta['n_rows'] == 5
    assert stack.meta['n_pictures_without_row'] == 0
    test, test_labels = read_kosiba2020(path, split='test')
    assert (test.ids, test_labels.names()) == (('900', '901'), ['low-z', 'hi-z'])
    # nothing has been unpacked
    assert sorted(tmp_path.rglob('*')) == before


def test_pixels_are_averaged(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole)
    stack, _ = read_kosiba2020(path, binning=4)
    blocks = picture(101)[::-1, :, 2].astype(float).reshape(89, 4, 89, 4)
    np.testing.assert_allclose(stack['xray'][1], blocks.mean(axis=(1, 3)), rtol=1e-6)
    assert stack.band('xray').pixel_scale.value == 4
    for wrong in (0, 3, 2.0):
        with pytest.raises(ValueError, match="'binning' must be a whole number that divides 356"):
            read_kosiba2020(path, binning=wrong)
    with pytest.raises(ValueError, match="'split' must be one of 'train', 'test'"):
        read_kosiba2020(path, split='valid')


def test_pictures_that_no_row_names_are_counted(whole, tmp_path):
    more = {'Kosiba2020/train_images/7.png': png(picture()), '__MACOSX/train.csv': b'junk'}
    stack, labels = read_kosiba2020(pack(tmp_path / 'k.zip', whole | more), binning=4)
    assert len(stack) == 5
    assert labels.meta['n_pictures_without_row'] == 1


def test_a_classifier_learns_from_it(tmp_path):
    stack, labels = read_kosiba2020(pack(tmp_path / 'k.zip', files(n_train=20)), binning=4)
    classifier = Classifier(network='cn', seed=1, n_epochs=1).fit(stack, labels)
    prediction = classifier.predict(stack)
    assert prediction.schema == labels.schema
    assert prediction.probability.shape == (20, 5)


BAD_TABLES = {
    'no table': (None, r'has no tables train\.csv, expected one'),
    'empty': (b'', 'lacks the column image_id; there are none'),
    'other columns': (b'id,class\n1,point\n', 'lacks the column image_id; there are id, class'),
    'no rows': (b'image_id,class\n', 'has no row'),
    'unknown class': (
        b'image_id,class\n100,low-z\n101,star\n',
        r"train\.csv, row 2: class 'star', expected one of low-z, hi-z, galaxy, point, other",
    ),
    'twice': (b'image_id,class\n100,low-z\n101,point\n100,low-z\n', "row 3: .*'100' again.*row 1"),
    'short row': (b'image_id,class\n100\n', "row 1: class '', expected one of"),
    'leads out': (b'image_id,class\n../../x,point\n', "row 1: image_id '../../x', expected"),
    'absolute': (b'image_id,class\n/etc/x,point\n', "row 1: image_id '/etc/x', expected"),
    'binary': (b'\xff\xfe\x00', 'is no CSV file in UTF-8'),
    'quote': (b'image_id,class\n"100,low-z\n', 'is no CSV file in UTF-8'),
    'missing picture': (
        b'image_id,class\n100,low-z\n77,point\n',
        r'1 of 2 rows of .* have no picture, the first is Kosiba2020/train_images/77\.png',
    ),
}


@pytest.mark.parametrize('kind', BAD_TABLES)
@pytest.mark.parametrize('folder', [False, True])
def test_what_is_wrong_with_a_table_is_named(kind, folder, whole, tmp_path):
    table, words = BAD_TABLES[kind]
    content = {name: data for name, data in whole.items() if name != TABLE}
    content |= {} if table is None else {TABLE: table}
    path = unpack(tmp_path, content) if folder else pack(tmp_path / 'k.zip', content)
    with pytest.raises(TableReadError, match=words):
        read_kosiba2020(path, binning=4)


def png_of_16_bits():
    content = bytearray(png(picture()))
    content[24] = 16
    return bytes(content)


BAD_PICTURES = {
    'size': (
        lambda: png(picture(shape=(356, 300, 3))),
        r'has 300 x 356 pixels, RGB of 8 bits; exp',
    ),
    'grey': (lambda: png(picture(shape=(356, 356))), 'grey of 8 bits; expected 356 x 356, RGB'),
    'alpha': (lambda: png(picture(shape=(356, 356, 4))), 'RGBA of 8 bits'),
    '16 bits': (png_of_16_bits, 'RGB of 16 bits; expected 356 x 356, RGB of 8 bits'),
    'channels': (lambda: png(picture()[..., ::-1]), 'something in its first channel'),
    'no picture': (lambda: b'GIF89a' + bytes(50), 'is no PNG file'),
    'cut': (lambda: png(picture())[:9000], 'is damaged'),
    'nothing': (lambda: b'', 'is no PNG file'),
}


@pytest.mark.parametrize('kind', BAD_PICTURES)
def test_what_is_wrong_with_a_picture_is_named(kind, whole, tmp_path):
    make, words = BAD_PICTURES[kind]
    path = pack(tmp_path / 'k.zip', whole | {'Kosiba2020/train_images/102.png': make()})
    with pytest.raises(TableReadError, match=rf'train_images/102\.png .*{words}'):
        read_kosiba2020(path, binning=4)


def test_a_first_channel_of_one_level_is_empty(whole, tmp_path):
    white = {'Kosiba2020/train_images/102.png': png(picture(first=255))}
    assert len(read_kosiba2020(pack(tmp_path / 'k.zip', whole | white), binning=4)[0]) == 5


@pytest.mark.parametrize('name', ['../out.csv', '/etc/out.csv', 'a/../../b', 'C:x', '..\\x'])
def test_names_that_lead_out_are_refused(name, whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole | {name: b'x'})
    with pytest.raises(TableReadError, match='has a name that leads out of the archive'):
        read_kosiba2020(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ['k.zip']


def test_links_are_refused(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole)
    link = zipfile.ZipInfo('Kosiba2020/train_images/1.png')
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(link, '/etc/passwd')
    with pytest.raises(TableReadError, match=r"member 'Kosiba2020/train_images/1\.png' is a link"):
        read_kosiba2020(path)
    folder = unpack(tmp_path / 'set', whole)
    secret = tmp_path / 'secret.png'
    shutil.move(folder / 'Kosiba2020' / 'train_images' / '100.png', secret)
    (folder / 'Kosiba2020' / 'train_images' / '100.png').symlink_to(secret)
    with pytest.raises(TableReadError, match=r'1 of 5 rows .* have no picture'):
        read_kosiba2020(folder)


def test_bombs_are_refused(whole, tmp_path, monkeypatch):
    bomb = pack(tmp_path / 'ratio.zip', whole | {'x': bytes(5_000_000)})
    with pytest.raises(TableReadError, match=r"member 'x' claims to unpack to \d+ times its size"):
        read_kosiba2020(bomb)
    path = pack(tmp_path / 'k.zip', whole)
    monkeypatch.setattr(kosiba2020, '_LARGEST_PICTURE', 1000)
    with pytest.raises(TableReadError, match=r'100\.png has more than'):
        read_kosiba2020(path)
    with pytest.raises(TableReadError, match=r'100\.png has more than'):
        read_kosiba2020(unpack(tmp_path / 'set', whole))
    for limit, value in (('_LARGEST_TOTAL', 100_000), ('_MOST_MEMBERS', 5)):
        with monkeypatch.context() as patch:
            patch.setattr(kosiba2020, limit, value)
            with pytest.raises(TableReadError, match=r'claims 9 members of .* GB, more than'):
                read_kosiba2020(path)


def test_a_member_that_is_larger_than_it_claims_is_refused(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo('Kosiba2020/train_images/100.png').file_size
    path.write_bytes(content.replace(size.to_bytes(4, 'little'), (2000).to_bytes(4, 'little')))
    with pytest.raises(TableReadError, match=r'100\.png cannot be unpacked \(BadZipFile: Bad CRC'):
        read_kosiba2020(path)


def test_members_that_are_there_twice_are_refused(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole)
    with pytest.warns(UserWarning, match='Duplicate'), zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(TABLE, 'image_id,class\n')
    with pytest.raises(TableReadError, match=r"train\.csv' is there twice"):
        read_kosiba2020(path)


def test_damaged_zip_files_are_refused(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', whole)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TableReadError, match='no folder and no whole zip file'):
        read_kosiba2020(path)
    rng = np.random.default_rng(5)
    n_refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(len(damaged), size=5):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_kosiba2020(path, binning=89)
        except TableReadError:
            n_refused += 1
    assert n_refused > 30
    with pytest.raises(TableReadError, match='No such file'):
        read_kosiba2020(tmp_path / 'none.zip')


def test_encrypted_members_are_refused(whole, tmp_path):
    path = pack(tmp_path / 'k.zip', {TABLE: whole[TABLE]})
    content = bytearray(path.read_bytes())
    # the flag in the directory of the archive
    content[content.index(b'PK\x01\x02') + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(TableReadError, match=r"train\.csv' is encrypted"):
        read_kosiba2020(path)
