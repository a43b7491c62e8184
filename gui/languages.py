"""The languages that the window speaks: which there are, and taking one on."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from volunteer.resource_files import resource

_NAME = "petals_volunteer"
_SOURCE = "en"


def available() -> tuple[str, ...]:
    """By their codes, as in `de`; the one that the program is written in comes first."""
    codes = sorted(path.stem.removeprefix(f"{_NAME}_") for path in resource("translations").glob(f"{_NAME}_*.qm"))
    return (_SOURCE, *codes)


def own_name(code: str) -> str:
    """Of a language, in itself: Deutsch."""
    if code == _SOURCE:
        return "English"  # to QLocale it is American
    name = QLocale(code).nativeLanguageName()
    return name[:1].upper() + name[1:]


def chosen(language: str | None) -> str:
    """The code of the language that is meant: of the system's languages the first that there is, else English."""
    wanted = [language] if language else QLocale.system().uiLanguages()
    known = available()
    for each in wanted:
        code = each.replace("_", "-").partition("-")[0]
        if code in known:
            return code
    return _SOURCE


class Languages:
    """What is spoken now. Numbers and dates follow the language; the country is the system's where the two agree."""

    def __init__(self) -> None:
        self._translators: list[QTranslator] = []

    def speak(self, app: QCoreApplication, language: str | None) -> None:
        """What is translated from now on comes in this language; what is on the screen already stays."""
        for translator in self._translators:
            app.removeTranslator(translator)
            translator.deleteLater()
        code = chosen(language)
        self._translators = [*self._loaded(app, code)]
        for translator in self._translators:
            app.installTranslator(translator)
        system = QLocale.system()
        is_systems = QLocale(code).language() == system.language()
        QLocale.setDefault(system if is_systems else QLocale(code))

    @staticmethod
    def _loaded(app: QCoreApplication, code: str) -> list[QTranslator]:
        found = []
        qt_folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
        for name, folder in (("qtbase", qt_folder), (_NAME, str(resource("translations")))):
            translator = QTranslator(app)
            if code != _SOURCE and translator.load(f"{name}_{code}", folder):
                found.append(translator)
        return found
