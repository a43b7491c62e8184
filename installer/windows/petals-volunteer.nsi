; The installer for Windows: for the user who starts it, without an administrator, and nothing that starts by itself.
;
;   python installer/windows/build.py --staged FOLDER --version 0.1.0 --output petals-volunteer-0.1.0-windows-x64.exe
;
; The staged folder is the one-folder build: the two programs and their _internal. build.py checks it, adds the texts, draws
; the pictures and calls makensis, which is told to take every warning for an error.

Unicode true
!include MUI2.nsh
!include LogicLib.nsh
!include FileFunc.nsh
!include WinVer.nsh
!include x64.nsh

!ifndef VERSION | STAGED | OUTPUT | ICON | WELCOME_PICTURE | HEADER_PICTURE
  !error "build.py says what this needs."
!endif

!define NAME "Petals Volunteer"
!define WINDOW_PROGRAM "Petals Volunteer.exe"
!define COMMAND_PROGRAM "volunteer.exe"
!define WSL2_TEXT "Serving through WSL2.txt"
!define LICENCE_TEXT "LICENSE.txt"
; By this file a folder is known as ours: nothing is ever removed from one that has none.
!define UNINSTALLER "uninstall-petals-volunteer.exe"
!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\petals-volunteer"
!define APP_PATH_KEY "Software\Microsoft\Windows\CurrentVersion\App Paths\${COMMAND_PROGRAM}"
!define OWN_KEY "Software\petals-volunteer"
; Where platformdirs puts the data of this program (volunteer/settings.py).
!define DATA_FOLDER "$LOCALAPPDATA\petals-volunteer"

Name "${NAME}"
OutFile "${OUTPUT}"
BrandingText "${NAME} ${VERSION}"
RequestExecutionLevel user
InstallDir "$LOCALAPPDATA\Programs\${NAME}"
InstallDirRegKey HKCU "${OWN_KEY}" "Folder"
SetCompressor /SOLID lzma
ManifestDPIAware true
ManifestSupportedOS Win10
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "${NAME}"
VIAddVersionKey "FileDescription" "${NAME} installer"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "MIT licence"

; Windows warns of programs that nobody signed. The publisher's own command signs both (installer/RELEASE.md); build.py has
; signed the programs inside.
!ifdef SIGN_COMMAND
  !finalize `${SIGN_COMMAND} "%1"` = 0
  !uninstfinalize `${SIGN_COMMAND} "%1"` = 0
!endif

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_WELCOMEFINISHPAGE_BITMAP "${WELCOME_PICTURE}"
!define MUI_HEADERIMAGE
!define MUI_HEADERIMAGE_BITMAP "${HEADER_PICTURE}"
!define MUI_HEADERIMAGE_UNBITMAP "${HEADER_PICTURE}"
!define MUI_HEADERIMAGE_RIGHT
!define MUI_ABORTWARNING
!define MUI_WELCOMEPAGE_TITLE "${NAME} ${VERSION}"
!define MUI_WELCOMEPAGE_TEXT "Large language models, run by many people together.$\r$\n$\r$\nThis installs the app for you alone. It needs no administrator, it does not start by itself, and it does nothing before you have said what it may do.$\r$\n$\r$\nThe next page says what works on Windows, and what does not."
!define MUI_FINISHPAGE_RUN "$INSTDIR\${WINDOW_PROGRAM}"
!define MUI_FINISHPAGE_RUN_TEXT "Open ${NAME}"
!define MUI_FINISHPAGE_RUN_NOTCHECKED
!define MUI_FINISHPAGE_SHOWREADME "$INSTDIR\${WSL2_TEXT}"
!define MUI_FINISHPAGE_SHOWREADME_TEXT "Read how to serve through WSL2 (beta)"
!define MUI_FINISHPAGE_SHOWREADME_NOTCHECKED

!insertmacro MUI_PAGE_WELCOME
Page custom ShowWhatWorks
!insertmacro MUI_PAGE_LICENSE "${STAGED}\${LICENCE_TEXT}"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH

!insertmacro MUI_UNPAGE_CONFIRM
UninstPage custom un.AskAboutData un.TakeAnswers
!insertmacro MUI_UNPAGE_INSTFILES

!insertmacro MUI_LANGUAGE "English"

Var DeletesBlocks
Var DeletesTheRest
Var BlocksBox
Var RestBox

; What the owner has to know before anything is installed.
Function ShowWhatWorks
  !insertmacro MUI_HEADER_TEXT "What works on Windows" "Read this before you install."
  nsDialogs::Create 1018
  Pop $0
  ${If} $0 == error
    Abort
  ${EndIf}
  ${NSD_CreateLabel} 0 0 100% 32u "On Windows this app is a window to a worker that runs elsewhere: on another computer of yours, or in WSL2. You chat through that worker, see its swarm, and start, pause and limit it."
  Pop $0
  ${NSD_CreateLabel} 0 38u 100% 32u "Windows itself cannot serve blocks of a model: the peer-to-peer program that this needs (p2pd of hivemind) is not made for Windows. So your graphics card gives nothing by installing this alone."
  Pop $0
  ${NSD_CreateLabel} 0 76u 100% 32u "Serving with this computer works through WSL2, Linux inside Windows. That is a beta: it takes some steps by hand, which the text at the end describes."
  Pop $0
  nsDialogs::Show
FunctionEnd

!macro SetUp
  ; This installer is a 32-bit program; what it installs is not.
  SetRegView 64
  SetShellVarContext current
!macroend

Function .onInit
  !insertmacro SetUp
  ${IfNot} ${RunningX64}
  ${OrIfNot} ${AtLeastWin10}
    MessageBox MB_ICONSTOP|MB_OK "${NAME} needs 64-bit Windows 10 or later." /SD IDOK
    SetErrorLevel 2
    Quit
  ${EndIf}
FunctionEnd

Function un.onInit
  !insertmacro SetUp
  StrCpy $DeletesBlocks ${BST_UNCHECKED}
  StrCpy $DeletesTheRest ${BST_UNCHECKED}
FunctionEnd

; A program that runs cannot be replaced. Its window is for the owner to close; a worker is not here, and `volunteer quit`
; would end the one elsewhere.
!macro DefineCheckNotRunning PREFIX
Function ${PREFIX}CheckNotRunning
  ${Do}
    StrCpy $1 0
    Push "$INSTDIR\${WINDOW_PROGRAM}"
    Call ${PREFIX}CountIfInUse
    Push "$INSTDIR\${COMMAND_PROGRAM}"
    Call ${PREFIX}CountIfInUse
    ${If} $1 = 0
      ${Break}
    ${EndIf}
    MessageBox MB_ICONEXCLAMATION|MB_RETRYCANCEL "${NAME} is running. Close it from its icon beside the clock, then go on." /SD IDCANCEL IDRETRY again
    SetErrorLevel 3
    Abort "${NAME} is running, so nothing was changed."
    again:
  ${Loop}
FunctionEnd

; Adds 1 to $1 if the file on the stack cannot be written: Windows holds programs that run.
Function ${PREFIX}CountIfInUse
  Exch $2
  ${If} ${FileExists} "$2"
    ClearErrors
    FileOpen $3 "$2" a
    ${If} ${Errors}
      IntOp $1 $1 + 1
    ${Else}
      FileClose $3
    ${EndIf}
  ${EndIf}
  Pop $2
FunctionEnd
!macroend
!insertmacro DefineCheckNotRunning ""
!insertmacro DefineCheckNotRunning "un."

; Takes away what an installer of ours has put into the folder, and nothing else that may be there.
!macro RemoveProgram
  RMDir /r "$INSTDIR\_internal"
  Delete "$INSTDIR\${WINDOW_PROGRAM}"
  Delete "$INSTDIR\${COMMAND_PROGRAM}"
  Delete "$INSTDIR\${WSL2_TEXT}"
  Delete "$INSTDIR\${LICENCE_TEXT}"
!macroend

Section "${NAME}" Program
  SectionIn RO
  ${If} ${FileExists} "$INSTDIR\${UNINSTALLER}"
    Call CheckNotRunning
    !insertmacro RemoveProgram
  ${ElseIf} ${FileExists} "$INSTDIR\_internal\*.*"
    MessageBox MB_ICONSTOP|MB_OK "Another program is in $INSTDIR. Choose another folder." /SD IDOK
    SetErrorLevel 4
    Abort "Another program is in $INSTDIR, so nothing was changed."
  ${EndIf}

  SetOutPath "$INSTDIR"
  ; Written first: after a failure half way, the next installer and the uninstaller know the folder.
  WriteUninstaller "$INSTDIR\${UNINSTALLER}"
  ClearErrors
  File "${STAGED}\${WINDOW_PROGRAM}"
  File "${STAGED}\${COMMAND_PROGRAM}"
  File "${STAGED}\${WSL2_TEXT}"
  File "${STAGED}\${LICENCE_TEXT}"
  File /r "${STAGED}\_internal"
  ${If} ${Errors}
    SetErrorLevel 5
    Abort "Not all files could be written. Is the disk full? Start the installer again when that is mended."
  ${EndIf}

  CreateShortcut "$SMPROGRAMS\${NAME}.lnk" "$INSTDIR\${WINDOW_PROGRAM}"
  ; Lets Start > Run and `start volunteer` find the command. The PATH stays as it is: NSIS would cut off a long one.
  WriteRegStr HKCU "${APP_PATH_KEY}" "" "$INSTDIR\${COMMAND_PROGRAM}"
  WriteRegStr HKCU "${OWN_KEY}" "Folder" "$INSTDIR"

  WriteRegStr HKCU "${UNINSTALL_KEY}" "DisplayName" "${NAME}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" "DisplayIcon" "$INSTDIR\${WINDOW_PROGRAM}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" "Publisher" "${NAME}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL_KEY}" "UninstallString" '"$INSTDIR\${UNINSTALLER}"'
  WriteRegStr HKCU "${UNINSTALL_KEY}" "QuietUninstallString" '"$INSTDIR\${UNINSTALLER}" /S'
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" "NoRepair" 1
  SectionGetSize ${Program} $0
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" "EstimatedSize" $0
SectionEnd

; The owner's data stay unless both the box is ticked and, for what cannot be had again, the question answered. A silent
; removal asks nothing and keeps all.
Function un.AskAboutData
  ${IfNot} ${FileExists} "${DATA_FOLDER}\*.*"
    Abort
  ${EndIf}
  !insertmacro MUI_HEADER_TEXT "Your data" "They stay unless you say otherwise."
  nsDialogs::Create 1018
  Pop $0
  ${If} $0 == error
    Abort
  ${EndIf}
  ${NSD_CreateLabel} 0 0 100% 24u "What the app has kept is in ${DATA_FOLDER}. A later installation finds it there."
  Pop $0
  ${NSD_CreateCheckbox} 0 30u 100% 12u "Delete the blocks of &models (they can be downloaded again)"
  Pop $BlocksBox
  ${NSD_SetState} $BlocksBox $DeletesBlocks
  ${NSD_CreateCheckbox} 0 48u 100% 12u "Delete &settings, chats, identity and points (they cannot be had again)"
  Pop $RestBox
  ${NSD_SetState} $RestBox $DeletesTheRest
  nsDialogs::Show
FunctionEnd

Function un.TakeAnswers
  ${NSD_GetState} $BlocksBox $DeletesBlocks
  ${NSD_GetState} $RestBox $DeletesTheRest
  ${If} $DeletesTheRest = ${BST_CHECKED}
    MessageBox MB_ICONEXCLAMATION|MB_YESNO|MB_DEFBUTTON2 "Your identity and your points are gone for good then, and so are your chats. Delete them?" IDYES sure
    StrCpy $DeletesTheRest ${BST_UNCHECKED}
    Abort
    sure:
  ${EndIf}
FunctionEnd

; Deletes the file or folder on the stack; of a folder that is kept elsewhere (a junction) not what it leads to.
Function un.DeleteData
  Exch $4
  ${GetFileAttributes} "$4" "REPARSE_POINT" $5
  ${If} $5 = 1
    DetailPrint "$4 leads to another place, which stays as it is"
    RMDir "$4"
  ${ElseIf} ${FileExists} "$4\*.*"
    RMDir /r "$4"
  ${Else}
    Delete "$4"
  ${EndIf}
  Pop $4
FunctionEnd

Section "Uninstall"
  Call un.CheckNotRunning
  !insertmacro RemoveProgram
  Delete "$SMPROGRAMS\${NAME}.lnk"
  DeleteRegKey HKCU "${APP_PATH_KEY}"
  DeleteRegKey HKCU "${UNINSTALL_KEY}"
  DeleteRegKey HKCU "${OWN_KEY}"
  Delete "$INSTDIR\${UNINSTALLER}"
  ; Only if it is empty: whatever else is in there is somebody's.
  SetOutPath "$TEMP"
  RMDir "$INSTDIR"

  ${If} $DeletesBlocks = ${BST_CHECKED}
    Push "${DATA_FOLDER}\models"
    Call un.DeleteData
  ${EndIf}
  ${If} $DeletesTheRest = ${BST_CHECKED}
    FindFirst $6 $7 "${DATA_FOLDER}\*.*"
    ${DoWhile} $7 != ""
      ${If} $7 != "."
      ${AndIf} $7 != ".."
      ${AndIf} $7 != "models"
        Push "${DATA_FOLDER}\$7"
        Call un.DeleteData
      ${EndIf}
      FindNext $6 $7
    ${Loop}
    FindClose $6
  ${EndIf}
  RMDir "${DATA_FOLDER}"
SectionEnd
